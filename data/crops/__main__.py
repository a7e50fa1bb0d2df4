from data.crops import main

main()
