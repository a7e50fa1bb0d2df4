from siglip.bigvision import main

main()
