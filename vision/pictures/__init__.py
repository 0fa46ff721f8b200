"""What is done with pixels: checked, decoded for strangers, measured, looked over."""
