from detector.export import main

main()
