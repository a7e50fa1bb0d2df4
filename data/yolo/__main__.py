from data.yolo import main

main()
