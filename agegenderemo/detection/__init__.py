"""Finding faces (`mtcnn`) and cutting the crop that the network sees (`align`)."""
