from eval.grounding import main

main()
