"""gRPC services that are described by tables: message classes made when first needed, callers, and handlers to serve.

A table of fields takes the place of generated code: nothing to generate, nothing loaded by those who never call. Fields
that nobody here reads may be left out, which protobuf allows; enumerations are their numbers. What the services are
stands with each of them (`etcd`, `csi`, `registration`).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

SCALARS = {"double": 1, "int64": 3, "uint64": 4, "int32": 5, "bool": 8, "string": 9, "bytes": 12}
MESSAGE, ONE, MANY = 11, 1, 3


def classes(package: str, table: str) -> dict[str, Any]:
    """Message classes by name, in a pool of their own: other packages may know messages of the same names.

    table: a message a line, its name and then its fields as `NUMBER NAME TYPE`, separated by commas. A type is a scalar
    or a message of the table, with `*` behind it where it is repeated; `{TYPE}` is a map of texts to such values.
    """
    import google.protobuf.descriptor_pb2
    import google.protobuf.descriptor_pool
    import google.protobuf.message_factory

    protobuf: Any = google.protobuf  # which brings no types along
    name = package.replace(".", "/")
    file = protobuf.descriptor_pb2.FileDescriptorProto(name=f"navarch/{name}.proto", package=package, syntax="proto3")
    for line in table.strip().splitlines():
        title, _, rest = line.partition(" ")
        message = file.message_type.add(name=title)
        for field in filter(None, rest.strip().split(", ")):
            _add(message, package, *field.split())
    pool = protobuf.descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = {message.name: pool.FindMessageTypeByName(f"{package}.{message.name}") for message in file.message_type}
    return {name: protobuf.message_factory.GetMessageClass(descriptor) for name, descriptor in found.items()}


def _add(message: Any, package: str, number: str, name: str, type_: str) -> None:
    if type_.startswith("{"):
        entry = "".join(word.capitalize() for word in name.split("_")) + "Entry"
        pair = message.nested_type.add(name=entry, options={"map_entry": True})
        _add(pair, package, "1", "key", "string")
        _add(pair, package, "2", "value", type_.strip("{}"))
        type_name = f".{package}.{message.name}.{entry}"
        message.field.add(name=name, number=int(number), label=MANY, type=MESSAGE, type_name=type_name)
        return
    label = MANY if type_.endswith("*") else ONE
    type_ = type_.removesuffix("*")
    if type_ in SCALARS:
        message.field.add(name=name, number=int(number), label=label, type=SCALARS[type_])
    else:
        message.field.add(name=name, number=int(number), label=label, type=MESSAGE, type_name=f".{package}.{type_}")


class Api:
    """A protobuf package: its messages, and the methods of its services.

    services: a service a line, its name and then its methods, separated by commas: `NAME` alone takes `NAMERequest` and
    gives `NAMEResponse`; otherwise `NAME REQUEST RESPONSE`, with `*` behind a response that is a stream.
    """

    def __init__(self, package: str, messages: str, services: str) -> None:
        self.package = package
        self._table = messages
        self._services = services

    @cached_property
    def _classes(self) -> Mapping[str, Any]:
        return classes(self.package, self._table)

    @cached_property
    def _methods(self) -> Mapping[str, Mapping[str, tuple[str, str]]]:
        """By service and method, (request, response)."""
        found: dict[str, dict[str, tuple[str, str]]] = {}
        for line in self._services.strip().splitlines():
            service, _, rest = line.partition(" ")
            found[service] = {}
            for method in rest.strip().split(", "):
                name, *types = method.split()
                request, response = types or (f"{name}Request", f"{name}Response")
                found[service][name] = (request, response)
        return found

    def make(self, message: str, **fields: Any) -> Any:
        """A message of that name."""
        return self._classes[message](**fields)

    def call(self, channel: Any, service: str, method: str) -> Any:
        """What calls a method over a `grpc.aio` channel: takes its request (and `timeout`), gives its response."""
        request, response = self._methods[service][method]
        kind = channel.unary_stream if response.endswith("*") else channel.unary_unary
        return kind(
            f"/{self.package}.{service}/{method}",
            request_serializer=self._classes[request].SerializeToString,
            response_deserializer=self._classes[response.removesuffix("*")].FromString,
        )

    def handlers(self, service: str, functions: Mapping[str, Any]) -> Any:
        """What a `grpc.aio` server is given (`add_generic_rpc_handlers`) to answer with these functions, by method."""
        import grpc as untyped

        grpc: Any = untyped
        made = {}
        for method, (request, response) in self._methods[service].items():
            if method not in functions:
                continue
            streams = response.endswith("*")
            kind = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
            made[method] = kind(
                functions[method],
                request_deserializer=self._classes[request].FromString,
                response_serializer=self._classes[response.removesuffix("*")].SerializeToString,
            )
        return grpc.method_handlers_generic_handler(f"{self.package}.{service}", made)
