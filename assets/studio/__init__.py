"""Blender as a photo studio: procedural products, and pictures of them with known truth.

Made with Blender's Python package (bpy), which findalike itself never needs; README.md says how.
"""
