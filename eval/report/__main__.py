from eval.report import main

main()
