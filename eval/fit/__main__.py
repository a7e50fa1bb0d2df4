from eval.fit import main

main()
