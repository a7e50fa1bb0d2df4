from data.merge import main

main()
