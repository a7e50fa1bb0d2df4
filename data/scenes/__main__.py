from data.scenes import main

main()
