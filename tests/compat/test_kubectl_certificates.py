"""Certificates through the API: asked for, approved by a person, signed by the cluster, used to log in."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import yaml
from compat_driver import Kubectl, until
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"


def asking(
    name: str, user: str, *groups: str, signer: str = CLIENT, usages: tuple[str, ...] = ("client auth",), **spec: Any
) -> tuple[str, str]:
    """The request as YAML, and the private key (PEM)."""
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    subject = x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, user)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    pem = request.public_bytes(serialization.Encoding.PEM)
    document = {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": signer,
            "usages": list(usages),
            **spec,
        },
    }
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return yaml.safe_dump(document), private.decode()


def issued(kubectl: Kubectl, name: str) -> bytes:
    found = until(lambda: kubectl("get", "csr", name, "-o", "jsonpath={.status.certificate}"))
    return base64.b64decode(found)


def logged_in(kubectl: Kubectl, certificate: bytes, key: str) -> Kubectl:
    document = yaml.safe_load(kubectl.kubeconfig.read_text())
    document["users"][0]["user"] = {
        "client-certificate-data": base64.b64encode(certificate).decode(),
        "client-key-data": base64.b64encode(key.encode()).decode(),
    }
    path = kubectl.directory / "kubeconfig-certificate"
    path.write_text(yaml.safe_dump(document))
    return replace(kubectl, kubeconfig=path)


def test_a_user_is_let_in_by_certificate(kubectl: Kubectl) -> None:
    name = f"jane-{kubectl.namespace}"
    text, key = asking(name, name, "devs", expirationSeconds=3600)
    kubectl.apply(text)
    assert kubectl.rows("get", "csr", name)[1][2:] == [CLIENT, "kubernetes-admin", "60m", "Pending"]
    assert f"{name} approved" in kubectl("certificate", "approve", name)
    certificate = issued(kubectl, name)
    assert kubectl.rows("get", "csr", name)[1][-1] == "Approved,Issued"
    told = kubectl("describe", "csr", name)
    assert "Requesting User:" in told
    assert "Approved,Issued" in told
    jane = logged_in(kubectl, certificate, key)
    who = jane("auth", "whoami", "-o", "jsonpath={.status.userInfo.username} {.status.userInfo.groups}")
    assert who == f'{name} ["devs","system:authenticated"]'
    assert f'User "{name}" cannot list resource "pods"' in jane.refused("get", "pods")
    kubectl("create", "rolebinding", "jane", "--clusterrole=view", "--group=devs")
    until(lambda: jane.run("get", "pods").returncode == 0)
    life = x509.load_pem_x509_certificate(certificate)
    assert (life.not_valid_after_utc - life.not_valid_before_utc).total_seconds() == 3600


def test_denied_and_unfit_ones(one_kubectl: Kubectl) -> None:
    kubectl, name = one_kubectl, f"no-{one_kubectl.namespace}"
    kubectl.apply(asking(name, "mallory")[0])
    assert f"{name} denied" in kubectl("certificate", "deny", name)
    assert kubectl.rows("get", "csr", name)[1][-1] == "Denied"
    unfit = f"unfit-{kubectl.namespace}"
    kubectl.apply(asking(unfit, "mallory", usages=("server auth",))[0])
    kubectl("certificate", "approve", unfit)
    until(lambda: kubectl.rows("get", "csr", unfit)[1][-1] == "Approved,Failed")
    failed = kubectl.read("csr", unfit)["status"]["conditions"][1]
    assert (failed["reason"], failed["message"]) == (
        "SignerValidationFailure",
        "invalid usage for client certificate: server auth",
    )
    refused = kubectl.refused("apply", "-f", "-", stdin=asking("root", "mallory", "system:masters")[0])
    assert f"use of {CLIENT} signer with system:masters group is not allowed" in refused


def test_agents_are_approved_by_permission(one_kubectl: Kubectl) -> None:
    kubectl, usages = one_kubectl, ("client auth", "digital signature")
    name = f"node-{kubectl.namespace}"
    kubectl.apply(asking(name, "system:node:new", "system:nodes", signer=KUBELET, usages=usages)[0])
    issued(kubectl, name)
    condition = kubectl.read("csr", name)["status"]["conditions"][0]
    assert (condition["reason"], condition["message"]) == (
        "AutoApproved",
        "Auto approving kubelet client certificate after SubjectAccessReview.",
    )


def test_deciding_takes_the_signers_permission(one_kubectl: Kubectl) -> None:
    kubectl, name = one_kubectl, f"mine-{one_kubectl.namespace}"
    kubectl.apply(asking(name, "jane")[0])
    kubectl("create", "clusterrole", name, "--verb=get,update", "--resource=csr,csr/approval")
    amy = kubectl.account("amy")
    kubectl("create", "clusterrolebinding", name, f"--clusterrole={name}", f"--serviceaccount={kubectl.namespace}:amy")
    said = f'"{name}" is forbidden: user not permitted to approve requests with signerName "{CLIENT}"'
    until(lambda: said in amy.run("certificate", "approve", name).stderr)


def test_the_trust_bundle_is_there(one_kubectl: Kubectl) -> None:
    kubectl = one_kubectl
    bundles = ("get", "clustertrustbundles")
    (row,) = until(lambda: [row for row in kubectl.rows(*bundles) if "apiserver-serving" in row[0]])
    assert row[1] == "kubernetes.io/kube-apiserver-serving"
    text = kubectl("get", "clustertrustbundle", row[0], "-o", "jsonpath={.spec.trustBundle}")
    assert text == kubectl("get", "configmap", "kube-root-ca.crt", "-o", r"jsonpath={.data.ca\.crt}")
    kubectl("delete", "clustertrustbundle", row[0])
    until(lambda: kubectl.run("get", "clustertrustbundle", row[0]).returncode == 0)
