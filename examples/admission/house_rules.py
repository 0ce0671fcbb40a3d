"""House rules for pods, as an admission plugin: no image without a tag, and a label that says who made the pod."""


def judge(write):
    """None: fine. A text: refused, and why. A dictionary: a merge patch for the object."""
    pod = write.object
    if pod is None or write.subresource:
        return None
    containers = pod["spec"]["containers"] + pod["spec"].get("initContainers", [])
    for container in containers:
        image = container["image"]
        if "@" not in image and ":" not in image.rpartition("/")[2]:
            return f"container {container['name']} runs {image!r}: say which version, as in {image}:1.2"
    if write.operation == "CREATE":
        return {"metadata": {"labels": {"made-by": write.user.replace(":", ".")}}}
    return None


judge.kinds = ("Pod",)
