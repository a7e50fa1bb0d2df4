from siglip.export import main

main()
