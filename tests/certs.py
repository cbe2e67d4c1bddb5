#!/usr/bin/env python3
"""Certificates for tests: `certs.py FOLDER` makes them, once, with the openssl command.

Nothing of them is in the tree. The folder appears whole or not at all, so that several tests may
ask for it at the same time. NAME.pem is a certificate with what leads to its root, NAME.key its
key, ca.pem the root, NAME.ocsp an OCSP response about server. Exits with 77 where there is no
openssl.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile

CONFIG = """
[ca]
default_ca = d
[d]
dir = .
database = index
new_certs_dir = .
serial = serial
default_md = sha256
policy = p
email_in_dn = no
unique_subject = no
[p]
commonName = supplied
[req]
distinguished_name = dn
prompt = no
[dn]
CN = unused
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[inter]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
"""
LEAF = """
[{name}]
basicConstraints = CA:FALSE
keyUsage = digitalSignature
extendedKeyUsage = {usage}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
{alt}
"""
NAMES = ("DNS:server.test,DNS:*.wild.test,DNS:localhost,DNS:Upper.Test,"
         "IP:127.0.0.1,IP:::1")


def many(count):
    """Names for a certificate, the last of them server.test."""
    names = [f"DNS:name-{i}.many-names.test" for i in range(count - 1)]
    return ",".join([*names, "DNS:server.test"])


EC = ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"]
RSA = ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
ED = ["ED25519"]

# name, key, names, usage, first day, last day
LEAVES = [
    ("server", EC, NAMES, "serverAuth", None, None),
    ("server_rsa", RSA, NAMES, "serverAuth", None, None),
    ("server_ed", ED, "DNS:ed.test", "serverAuth", None, None),
    ("second", EC, NAMES, "serverAuth", None, None),
    ("other", EC, "DNS:other.test,DNS:exact.wild.test", "serverAuth", None, None),
    ("expired", EC, NAMES, "serverAuth", "20200101000000Z", "20200201000000Z"),
    ("future", EC, NAMES, "serverAuth", "20990101000000Z", "20990201000000Z"),
    ("usage", EC, NAMES, "clientAuth", None, None),
    ("no_names", EC, "", "serverAuth", None, None),
    # 1,024 names are the limit; public authorities sign some hundred.
    ("many_names", EC, many(1024), "serverAuth", None, None),
    ("too_many_names", EC, many(1025), "serverAuth", None, None),
    ("client", EC, "DNS:alice.test", "clientAuth", None, None),
]
# name, about whom, status, from, until, whether the signature is right
GOOD, REVOKED, UNKNOWN = b"\x80\x00", b"\xa1\x11\x18\x0f20200102000000Z", b"\x82\x00"
RESPONSES = [
    ("good", "server", GOOD, "20200101000000Z", "20980101000000Z", True),
    ("revoked", "server", REVOKED, "20200101000000Z", "20980101000000Z", True),
    ("unknown", "server", UNKNOWN, "20200101000000Z", "20980101000000Z", True),
    ("stale", "server", GOOD, "20200101000000Z", "20200201000000Z", True),
    ("early", "server", GOOD, "20970101000000Z", "20980101000000Z", True),
    ("endless", "server", GOOD, "20200101000000Z", None, True),
    ("second", "second", GOOD, "20200101000000Z", "20980101000000Z", True),
    ("forged", "server", GOOD, "20200101000000Z", "20980101000000Z", False),
]


def openssl(*args):
    subprocess.run(["openssl", *args], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def key_and_request(name, key, common_name):
    openssl("genpkey", "-algorithm", *key, "-out", f"{name}.key")
    openssl("req", "-new", "-config", "conf", "-key", f"{name}.key", "-subj", f"/CN={common_name}",
            "-out", f"{name}.csr")


def sign(name, issuer, section, first=None, last=None):
    openssl("ca", "-batch", "-notext", "-config", "conf", "-cert", f"{issuer}.crt",
            "-keyfile", f"{issuer}.key", "-in", f"{name}.csr", "-out", f"{name}.crt",
            "-extensions", section, "-startdate", first or "20200101000000Z",
            "-enddate", last or "20990101000000Z")


def join(out, *parts):
    with open(out, "wb") as f:
        for part in parts:
            with open(part, "rb") as p:
                f.write(p.read())


def root(name):
    openssl("genpkey", "-algorithm", *EC, "-out", f"{name}.key")
    openssl("req", "-x509", "-new", "-config", "conf", "-extensions", "root", "-key",
            f"{name}.key", "-subj", f"/CN={name}", "-days", "3650", "-out", f"{name}.crt")
    join(f"{name}.pem", f"{name}.crt")


def der(tag, *parts):
    body = b"".join(parts)
    size = len(body).to_bytes(1 + (len(body) > 255), "big")
    return bytes([tag]) + (bytes([0x80 | len(size)]) if len(body) > 127 else b"") + size + body


def output(*args):
    return subprocess.run(["openssl", *args], check=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


def respond(out, name, status, first, last, right):
    """An OCSP response by inter; openssl's own command only writes those that begin now."""
    serial = bytes.fromhex(output("x509", "-in", f"{name}.crt", "-noout",
                                  "-serial").decode().strip().split("=")[1])
    point = output("pkey", "-in", "inter.key", "-pubout", "-outform", "DER")[-65:]
    issuer = der(0x30, der(0x31, der(0x30, b"\x06\x03\x55\x04\x03", der(0x0c, b"inter"))))
    key_hash = hashlib.sha1(point).digest()
    cert_id = der(0x30, der(0x30, bytes.fromhex("06052b0e03021a0500")),
                  der(4, hashlib.sha1(issuer).digest()), der(4, key_hash), der(2, serial))
    until = der(0xa0, der(0x18, last.encode())) if last else b""
    single = der(0x30, cert_id, status, der(0x18, first.encode()), until)
    data = der(0x30, der(0xa2, der(4, key_hash)), der(0x18, first.encode()), der(0x30, single))
    with open("data", "wb") as f:
        f.write(data)
    signature = bytearray(output("dgst", "-sha256", "-sign", "inter.key", "data"))
    if not right:
        signature[-1] ^= 1
    basic = der(0x30, data, der(0x30, bytes.fromhex("06082a8648ce3d040302")),
                der(3, b"\0", signature))
    with open(out, "wb") as f:
        f.write(der(0x30, b"\x0a\x01\x00",
                    der(0xa0, der(0x30, bytes.fromhex("06092b0601050507300101"), der(4, basic)))))


def make():
    with open("conf", "w", encoding="ascii") as f:
        f.write(CONFIG)
        for name, _, names, usage, _, _ in LEAVES:
            alt = f"subjectAltName = {names}" if names else ""
            f.write(LEAF.format(name=f"leaf_{name}", usage=usage, alt=alt))
    with open("index", "w", encoding="ascii"):
        pass
    with open("serial", "w", encoding="ascii") as f:
        f.write("1000\n")
    root("ca")
    root("ca_other")
    key_and_request("inter", EC, "inter")
    sign("inter", "ca", "inter")
    for name, key, _, _, first, last in LEAVES:
        key_and_request(name, key, f"{name}.test")
        sign(name, "inter", f"leaf_{name}", first, last)
        join(f"{name}.pem", f"{name}.crt", "inter.crt")
    openssl("req", "-x509", "-new", "-config", "conf", "-extensions", "leaf_server", "-key",
            "server.key", "-subj", "/CN=self.test", "-days", "3650", "-out", "self.pem")
    join("self.key", "server.key")
    for name, about, *rest in RESPONSES:
        respond(f"{name}.ocsp", about, *rest)
    # As an operator would make one, by a responder of its own.
    openssl("ocsp", "-index", "index", "-CA", "inter.crt", "-rsigner", "inter.crt", "-rkey",
            "inter.key", "-issuer", "inter.crt", "-cert", "server.crt", "-ndays", "3650",
            "-respout", "usual.ocsp")
    # The signer alone, without what leads to the root.
    join("bare.pem", "server.crt")
    join("bare.key", "server.key")


def main():
    out = os.path.abspath(sys.argv[1])
    if os.path.isdir(out):
        return 0
    if not shutil.which("openssl"):
        print("SKIP: no openssl command")
        return 77
    os.makedirs(os.path.dirname(out), exist_ok=True)
    folder = tempfile.mkdtemp(prefix="certs-", dir=os.path.dirname(out))
    os.chdir(folder)
    try:
        make()
    except subprocess.CalledProcessError as e:
        sys.exit(f"{' '.join(e.cmd)}: {e.stderr.decode()}")
    os.chdir("/")
    try:
        os.rename(folder, out)
    except OSError:
        shutil.rmtree(folder)  # another one was faster
    return 0


if __name__ == "__main__":
    sys.exit(main())
