"""Certificates of the cluster's issuer, asked for with kubectl and believed by a TLS client."""

from __future__ import annotations

import base64
import json
import ssl
from pathlib import Path

import pytest
import yaml
from compat_driver import Kubectl, until

from navarch.base.pki import new_key, new_request

INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: shop, annotations: {navarch.dev/issuer: cluster, navarch.dev/alt-names: "192.0.2.7"}}
spec:
  tls: [{hosts: [shop.example, "*.shop.example"], secretName: shop-tls}]
  defaultBackend: {service: {name: web, port: {number: 80}}}
"""


def secret_of(kubectl: Kubectl, name: str) -> dict[str, bytes]:
    found = until(lambda: kubectl("get", "secret", name, "--ignore-not-found", "-o", "json"))
    return {key: base64.b64decode(text) for key, text in json.loads(found)["data"].items()}


def trusted(kubectl: Kubectl) -> str:
    asked = ("navarch-issuer", "--ignore-not-found", "-o", r"jsonpath={.data.ca\.crt}")
    return kubectl("get", "cm", "-n", "kube-public", *asked)


def shaken(directory: Path, certificate: bytes, key: bytes, authority: str, host: str) -> None:
    """One TLS handshake in memory. Raises: ssl.SSLError: the client does not believe the server."""
    pair = directory / "pair.pem"
    pair.write_bytes(certificate + b"\n" + key)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(pair)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(there, back, server_side=True)
    client = ssl.create_default_context(cadata=authority).wrap_bio(back, there, server_hostname=host)
    for _ in range(10):
        ended = 0
        for side in (client, server):
            try:
                side.do_handshake()
                ended += 1
            except ssl.SSLWantReadError:
                continue
        if ended == 2:
            return
    raise AssertionError("the handshake does not end")


def test_an_ingress_asks_and_a_client_believes(one_kubectl: Kubectl, tmp_path: Path) -> None:
    one_kubectl("apply", "-f", "-", stdin=INGRESS)
    found = secret_of(one_kubectl, "shop-tls")
    authority = until(lambda: trusted(one_kubectl))
    assert found["ca.crt"].decode() == authority
    for host in ("shop.example", "eu.shop.example", "192.0.2.7"):
        shaken(tmp_path, found["tls.crt"], found["tls.key"], authority, host)
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        shaken(tmp_path, found["tls.crt"], found["tls.key"], authority, "example")
    bundles = json.loads(one_kubectl("get", "clustertrustbundles", "-o", "json"))["items"]
    assert [one["spec"]["trustBundle"] for one in bundles if one["spec"]["signerName"] == "navarch.dev/serving"] == [
        authority
    ]
    told = "Issued a certificate for shop.example, *.shop.example, 192.0.2.7 into Secret shop-tls"
    until(lambda: told in one_kubectl("describe", "ingress", "shop"))
    one_kubectl("patch", "ingress", "shop", "--type=json", "-p", '[{"op":"remove","path":"/spec/tls"}]')
    until(lambda: not one_kubectl("get", "secret", "shop-tls", "--ignore-not-found"))


def test_a_secret_that_a_person_made_stays(one_kubectl: Kubectl) -> None:
    one_kubectl("create", "secret", "generic", "shop-tls", "--from-literal=mine=yes")
    one_kubectl("apply", "-f", "-", stdin=INGRESS)
    until(lambda: "CertificateRefused" in one_kubectl("describe", "ingress", "shop"))
    assert secret_of(one_kubectl, "shop-tls") == {"mine": b"yes"}
    one_kubectl("delete", "secret", "shop-tls")
    until(lambda: "tls.crt" in secret_of(one_kubectl, "shop-tls"))


def test_a_request_is_signed_once_a_person_approved(one_kubectl: Kubectl, tmp_path: Path) -> None:
    key = new_key()
    text = base64.b64encode(new_request(key, "db", (), ["db.example"])).decode()
    spec = {"request": text, "signerName": "navarch.dev/serving", "usages": ["server auth", "digital signature"]}
    kind = {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest"}
    one_kubectl("apply", "-f", "-", stdin=yaml.safe_dump({**kind, "metadata": {"name": "db"}, "spec": spec}))
    one_kubectl("certificate", "approve", "db")
    made = base64.b64decode(until(lambda: one_kubectl("get", "csr", "db", "-o", "jsonpath={.status.certificate}")))
    shaken(tmp_path, made, key, until(lambda: trusted(one_kubectl)), "db.example")


GATEWAYS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: gateways.gateway.networking.k8s.io
  annotations: {api-approved.kubernetes.io: "https://github.com/kubernetes-sigs/gateway-api/pull/1"}
spec:
  group: gateway.networking.k8s.io
  scope: Namespaced
  names: {kind: Gateway, plural: gateways, singular: gateway}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
GATEWAY = """
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: way, annotations: {navarch.dev/issuer: cluster}}
spec:
  listeners:
  - {name: https, port: 443, protocol: HTTPS, hostname: way.example, tls: {certificateRefs: [{name: way-tls}]}}
"""


def test_gateways_ask_once_they_are_served(one_kubectl: Kubectl, tmp_path: Path) -> None:
    one_kubectl("apply", "-f", "-", stdin=GATEWAYS)
    one_kubectl("wait", "--for=condition=Established", "crd/gateways.gateway.networking.k8s.io", "--timeout=60s")
    one_kubectl("apply", "-f", "-", stdin=GATEWAY)
    found = secret_of(one_kubectl, "way-tls")
    shaken(tmp_path, found["tls.crt"], found["tls.key"], until(lambda: trusted(one_kubectl)), "way.example")
    one_kubectl("delete", "crd", "gateways.gateway.networking.k8s.io")
    until(lambda: not one_kubectl("get", "secret", "way-tls", "--ignore-not-found"))
