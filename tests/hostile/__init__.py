"""Crafted safetensors files, each with the reason why it must be refused; README.md is written by make.py."""
