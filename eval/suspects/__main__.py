from eval.suspects import main

main()
