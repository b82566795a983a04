"""frugalseg: how little will do? A reproducible study of redundancy, forgetting and model size in cell segmentation."""
