from data.write import main

main()
