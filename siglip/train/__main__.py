from siglip.train import main

main()
