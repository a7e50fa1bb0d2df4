from data.noise import main

main()
