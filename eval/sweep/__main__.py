from eval.sweep import main

main()
