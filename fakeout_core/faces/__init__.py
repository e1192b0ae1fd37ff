"""Faces: detection, landmarks, tracking and alignment, after the FacePipe method."""
