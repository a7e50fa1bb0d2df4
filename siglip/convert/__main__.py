from siglip.convert import main

main()
