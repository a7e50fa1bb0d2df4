from data.check import main

main()
