"""The shapes that Pod and every pod template share: views, defaults and rules of a pod's spec."""
