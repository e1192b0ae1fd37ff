"""Deepfake detection from face and voice: the model, media and faces, with no engine in sight."""
