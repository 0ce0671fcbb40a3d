"""What may be asked of revisions, row by row of the documentation, and what options are refused in whose words.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

from typing import Any

import pytest
from api_driver import CONFIGMAPS, Api, Refused, config, run

FORBIDDEN = 'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: '
UNSUPPORTED = "Unsupported value"


def names(page: Any) -> list[str]:
    return [item["metadata"]["name"] for item in page["items"]]


def test_every_row_of_gets_and_lists() -> None:
    async def test(api: Api) -> None:
        first = (await api.post(CONFIGMAPS, config("a")))["metadata"]["resourceVersion"]
        last = (await api.post(CONFIGMAPS, config("b")))["metadata"]["resourceVersion"]
        for query in ("", "?resourceVersion=0", f"?resourceVersion={first}", f"?resourceVersion={last}"):
            assert (await api.get(f"{CONFIGMAPS}/a{query}"))["metadata"]["resourceVersion"] == first
        whole, then = ["a", "b"], ["a"]
        exactly, older = "resourceVersionMatch=Exact", "resourceVersionMatch=NotOlderThan"
        for query, found, at in [
            ("", whole, last),
            ("resourceVersion=0", whole, last),
            (f"resourceVersion={first}", whole, last),
            (f"resourceVersion={first}&{older}", whole, last),
            (f"resourceVersion=0&{older}", whole, last),
            (f"resourceVersion={first}&{exactly}", then, first),
            (f"resourceVersion={last}&{exactly}", whole, last),
            ("limit=5", whole, last),
            ("limit=5&resourceVersion=0", whole, last),
            (f"limit=5&resourceVersion={first}", then, first),
            (f"limit=5&resourceVersion={first}&{older}", whole, last),
            (f"limit=5&resourceVersion={first}&{exactly}", then, first),
        ]:
            page = await api.get(f"{CONFIGMAPS}?{query}")
            assert (names(page), page["metadata"]["resourceVersion"]) == (found, at), query
        page = await api.get(f"{CONFIGMAPS}?limit=1&resourceVersion={last}&{exactly}")
        await api.post(CONFIGMAPS, config("c"))
        rest = await api.get(f"{CONFIGMAPS}?limit=5&continue={page['metadata']['continue']}")
        assert (names(rest), rest["metadata"]["resourceVersion"]) == (["b"], last)

    run(test)


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("resourceVersionMatch=Exact", 422, f"{FORBIDDEN}resourceVersionMatch is forbidden unless resourceVersion is"),
        (
            "resourceVersion=0&resourceVersionMatch=Exact",
            422,
            f'{FORBIDDEN}resourceVersionMatch "exact" is forbidden for resourceVersion "0"',
        ),
        ("resourceVersion=1&resourceVersionMatch=Like", 422, f'resourceVersionMatch: {UNSUPPORTED}: "Like": supported'),
        (
            "resourceVersion=1&resourceVersionMatch=Exact&continue=x",
            422,
            f"{FORBIDDEN}resourceVersionMatch is forbidden when continue is provided",
        ),
        ("resourceVersion=1&continue=x", 400, "specifying resource version is not allowed when using continue"),
        ("continue=x", 400, "continue key is not valid"),
        (
            "resourceVersion=x",
            422,
            'resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax',
        ),
        ("resourceVersion=99999999", 504, "Too large resource version: 99999999, current: "),
        ("sendInitialEvents=true", 422, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
        (
            "watch=1&sendInitialEvents=true",
            422,
            f"{FORBIDDEN}sendInitialEvents requires setting resourceVersionMatch to NotOlderThan",
        ),
        (
            "watch=1&resourceVersionMatch=NotOlderThan",
            422,
            f"{FORBIDDEN}resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided",
        ),
    ],
)
def test_what_cannot_be_asked(query: str, code: int, message: str) -> None:
    async def test(api: Api) -> None:
        with pytest.raises(Refused) as refused:
            await api.get(f"{CONFIGMAPS}?{query}")
        assert refused.value.code == code
        assert message in refused.value.message
        if code == 422 and "ListOptions" in refused.value.message:
            assert refused.value.status["details"]["kind"] == "ListOptions"
            assert refused.value.status["details"]["group"] == "meta.k8s.io"

    run(test)


@pytest.mark.parametrize(
    ("method", "target", "type_", "message"),
    [
        ("POST", "?dryRun=some", "json", 'CreateOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value: "some"'),
        ("POST", "?fieldValidation=Some", "json", 'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: Unsupp'),
        ("POST", f"?fieldManager={'x' * 129}", "json", "fieldManager: Too long: may not be more than 128 bytes"),
        (
            "POST",
            "?fieldManager=a%07",
            "json",
            'fieldManager: Invalid value: "a\\u0007": should only contain printable',
        ),
        ("PATCH", "/a?dryRun=some", "merge-patch+json", 'PatchOptions.meta.k8s.io "" is invalid: dryRun'),
        ("PATCH", "/a?force=true", "merge-patch+json", "force: Forbidden: may not be specified for non-apply patch"),
        ("PATCH", "/a", "apply-patch+yaml", "fieldManager: Required value: is required for apply patch"),
        ("DELETE", "/a?dryRun=some", "json", 'DeleteOptions.meta.k8s.io "" is invalid: dryRun: Unsupported value'),
    ],
)
def test_options_are_refused_by_their_names(method: str, target: str, type_: str, message: str) -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config("a"))
        body = None if method == "DELETE" else config("b")
        with pytest.raises(Refused) as refused:
            await api.ask(method, f"{CONFIGMAPS}{target}", body, f"application/{type_}")
        assert refused.value.code == 422
        assert message in refused.value.message

    run(test)


@pytest.mark.parametrize(
    ("type_", "patch", "why"),
    [
        ("merge-patch+json", {"odd": 1}, 'strict decoding error: unknown field \\"odd\\"'),
        ("strategic-merge-patch+json", {"odd": 1}, "strict decoding error: unknown field"),
        ("merge-patch+json", {"data": {"a": 1}}, "json: cannot unmarshal number into Go struct field"),
        ("json-patch+json", [{"op": "add", "path": "/data/b", "value": "c", "odd": 1}], "json patch unknown field"),
        ("merge-patch+json", b'{"data":{"a":"b","a":"c"}}', "strict decoding error: duplicate field"),
    ],
)
def test_a_patch_that_makes_no_object_is_invalid(type_: str, patch: Any, why: str) -> None:
    async def test(api: Api) -> None:
        await api.post(CONFIGMAPS, config("a", a="b"))
        with pytest.raises(Refused) as refused:
            await api.ask("PATCH", f"{CONFIGMAPS}/a?fieldValidation=Strict", patch, f"application/{type_}")
        assert (refused.value.code, refused.value.reason) == (422, "Invalid")
        assert refused.value.message.startswith(' "" is invalid: patch: Invalid value: "')
        assert why.replace('\\"', '"') in refused.value.message
        assert refused.value.causes[0]["field"] == "patch"

    run(test)
