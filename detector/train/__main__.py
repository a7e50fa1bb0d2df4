from detector.train import main

main()
