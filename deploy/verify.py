#!/usr/bin/env python3
"""Checks an evidence bundle of a Dendrolog log, offline.

    verify.py FILE --vkey VKEY [--roots PEM] [--policy FILE] [--anchor-log VKEY]

A second opinion on what `dendrolog check` says: it shares no code with it, and needs Python 3.9 or newer and the package
`cryptography` (42 or newer). The log's verifier key, the roots of time-stamp authorities and the policy of witnesses come
from you; whatever is not given is told as not checked. Exit status: 0 it holds, 1 it does not, 2 it could not be checked.

Formats: CBOR (RFC 8949 4.2.1), RFC 6962 and 9162 trees, C2SP signed notes, checkpoints, cosignatures and policies,
RFC 3161 tokens (RFC 5652, RFC 5816).
"""
import argparse
import base64
import datetime
import hashlib
import json
import re
import sys

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

try:
    from cryptography.hazmat.primitives.asymmetric import mldsa
except ImportError:
    mldsa = None

BUNDLE_FORMAT = "dendrolog/bundle/1"
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)


class Violated(Exception):
    """Somebody did not say what the bundle says that they said."""


class Unknown(Exception):
    """It could not be checked."""


# --- CBOR: what a bundle and a leaf need, in its one spelling


def cbor_decode(data):
    value, end = _cbor_item(data, 0, 0)
    if end != len(data):
        raise Unknown("bytes behind the end of the CBOR")
    if cbor_encode(value) != data:
        raise Unknown("CBOR that is not in its deterministic encoding")
    return value


def _cbor_item(data, at, depth):
    if depth > 16 or at >= len(data):
        raise Unknown("CBOR that is cut off or nested too deep")
    first = data[at]
    major, low = first >> 5, first & 31
    if major == 7:
        if first not in (0xF4, 0xF5, 0xF6):
            raise Unknown("a CBOR item of another kind")
        return {0xF4: False, 0xF5: True, 0xF6: None}[first], at + 1
    if low > 27:
        raise Unknown("a CBOR length of another kind")
    width = 0 if low < 24 else 1 << (low - 24)
    number = low if width == 0 else int.from_bytes(data[at + 1 : at + 1 + width], "big")
    at += 1 + width
    if major == 0:
        return number, at
    if major == 1:
        return -1 - number, at
    if major in (2, 3):
        if number > len(data) - at:
            raise Unknown("CBOR that is cut off")
        chunk = data[at : at + number]
        return (chunk if major == 2 else chunk.decode("utf-8")), at + number
    if major not in (4, 5) or number > len(data) - at:
        raise Unknown("CBOR that is cut off, or of another kind")
    items = []
    for _ in range(number * (major - 3)):
        item, at = _cbor_item(data, at, depth + 1)
        items.append(item)
    if major == 4:
        return items, at
    keys = items[0::2]
    if not all(isinstance(key, str) for key in keys) or len(set(keys)) < len(keys):
        raise Unknown("a CBOR map with keys that are no text, or come twice")
    return dict(zip(keys, items[1::2])), at


def cbor_encode(value):
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", True: b"\xf5", False: b"\xf4"}[value]
    if isinstance(value, int):
        return _cbor_head(0, value) if value >= 0 else _cbor_head(1, -1 - value)
    if isinstance(value, (bytes, bytearray)):
        return _cbor_head(2, len(value)) + bytes(value)
    if isinstance(value, str):
        raw = value.encode("utf-8")
        return _cbor_head(3, len(raw)) + raw
    if isinstance(value, list):
        return _cbor_head(4, len(value)) + b"".join(cbor_encode(item) for item in value)
    members = sorted((cbor_encode(key), cbor_encode(member)) for key, member in value.items())
    return _cbor_head(5, len(members)) + b"".join(key + member for key, member in members)


def _cbor_head(major, number):
    for low, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 24:
            return bytes([major << 5 | number])
        if number < 1 << (8 * width):
            return bytes([major << 5 | low]) + number.to_bytes(width, "big")
    raise Unknown("a number above 2^64")


# --- the tree (RFC 9162 2.1.3.2, 2.1.4.2)


def sha256(data):
    return hashlib.sha256(data).digest()


def node(left, right):
    return sha256(b"\x01" + left + right)


def root_from_inclusion(index, size, leaf, path):
    if not 0 <= index < size:
        raise Violated("a leaf index that is not in the tree")
    fn, sn, root = index, size - 1, leaf
    for part in path:
        if sn == 0:
            raise Violated("an inclusion proof that is too long")
        if fn % 2 == 1 or fn == sn:
            root = node(part, root)
            while fn % 2 == 0 and fn > 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = node(root, part)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise Violated("an inclusion proof that is too short")
    return root


def check_consistency(size1, size2, root1, root2, path):
    if not 0 < size1 <= size2:
        raise Violated("heads that are not in order")
    if size1 == size2:
        if path or root1 != root2:
            raise Violated("two heads of one size")
        return
    path = list(path)
    if size1 & (size1 - 1) == 0:
        path.insert(0, root1)
    if not path:
        raise Violated("a consistency proof without hashes")
    fn, sn = size1 - 1, size2 - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for part in path[1:]:
        if sn == 0:
            raise Violated("a consistency proof that is too long")
        if fn & 1 or fn == sn:
            fr, sr = node(part, fr), node(part, sr)
            while fn & 1 == 0 and fn > 0:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, part)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0 or fr != root1 or sr != root2:
        raise Violated("a head does not extend the one before")


# --- signed notes (C2SP)


def parse_vkey(text):
    match = re.fullmatch(r"([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/]+=*)", text.strip())
    if match is None:
        raise Unknown("a verifier key that is none")
    name, key_id, key = match[1], bytes.fromhex(match[2]), base64.b64decode(match[3])
    if sha256(name.encode() + b"\n" + key)[:4] != key_id:
        raise Unknown("a verifier key whose ID is not that of its key")
    return {"name": name, "id": key_id, "type": key[0], "key": key[1:]}


def parse_note(note):
    text, blank, block = note.rpartition("\n\n")
    if not blank or not block.endswith("\n"):
        raise Violated("a note without signatures")
    return text + "\n", [parse_line(line) for line in block[:-1].split("\n")]


def parse_line(line):
    match = re.fullmatch(r"\u2014 ([^+\s]+) ([A-Za-z0-9+/]+=*)", line)
    if match is None:
        raise Violated("a signature line that is none")
    raw = base64.b64decode(match[2], validate=True)
    return {"name": match[1], "id": raw[:4], "signature": raw[4:]}


def ed25519_holds(key, message, signature):
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        return True
    except InvalidSignature:
        return False


def open_checkpoint(note, key):
    text, lines = parse_note(note)
    mine = [line for line in lines if line["name"] == key["name"] and line["id"] == key["id"]]
    if not mine:
        raise Unknown("the bundle is of another log or key")
    if not ed25519_holds(key["key"], text.encode(), mine[0]["signature"]):
        raise Violated("the log's signature of a checkpoint does not hold")
    origin, size, root = text.split("\n")[:3]
    if origin != key["name"] or not re.fullmatch(r"0|[1-9][0-9]*", size):
        raise Violated("a checkpoint of another log, or none")
    return {"text": text, "size": int(size), "root": base64.b64decode(root, validate=True)}


def check_sth(head, checkpoint, sth_key):
    signature = head["treeHeadSignature"]
    if signature[:2] != b"\x04\x03" or int.from_bytes(signature[2:4], "big") != len(signature) - 4:
        raise Violated("an STH signature of another kind")
    signed = b"\x00\x01" + head["timestamp"].to_bytes(8, "big") + checkpoint["size"].to_bytes(8, "big")
    try:
        sth_key.verify(signature[4:], signed + checkpoint["root"], ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise Violated("the log's STH does not hold") from None


# --- witnesses (C2SP tlog-cosignature, tlog-policy)


def parse_policy(text):
    witnesses, groups, quorum = {}, [], None
    for line in text.split("\n"):
        items = line.split()
        if not items or items[0].startswith("#"):
            continue
        if items[0] == "witness":
            witnesses[items[1]] = parse_vkey(items[2])
        elif items[0] == "group":
            members = items[3:]
            need = {"any": 1, "all": len(members)}.get(items[2]) or int(items[2])
            groups.append((items[1], need, members))
        elif items[0] == "quorum":
            quorum = items[1]
        elif items[0] != "log":
            raise Unknown("a policy with a line that is none")
    return witnesses, groups, quorum


def cosigned_by(head, checkpoint, witnesses):
    """Names of the policy whose cosignatures hold, with their times."""
    found = {}
    for line in filter(None, head["cosignatures"].split("\n")):
        signed = parse_line(line)
        for name, key in witnesses.items():
            if (signed["name"], signed["id"]) == (key["name"], key["id"]):
                time = int.from_bytes(signed["signature"][:8], "big")
                if cosignature_holds(key, time, checkpoint, signed["signature"][8:]):
                    found[name] = time
    return found


def cosignature_holds(key, time, checkpoint, signature):
    if key["type"] == 4:
        message = f"cosignature/v1\ntime {time}\n{checkpoint['text']}".encode()
        return ed25519_holds(key["key"], message, signature)
    if key["type"] != 6 or mldsa is None:
        raise Unknown("a cosignature of a kind that this program, or its `cryptography`, does not know")
    name, origin = key["name"].encode(), checkpoint["text"].split("\n")[0].encode()
    message = b"subtree/v1\n\0" + bytes([len(name)]) + name + time.to_bytes(8, "big")
    message += bytes([len(origin)]) + origin + bytes(8) + checkpoint["size"].to_bytes(8, "big") + checkpoint["root"]
    try:
        mldsa.MLDSA44PublicKey.from_public_bytes(key["key"]).verify(signature, message)
        return True
    except InvalidSignature:
        return False


def is_quorum(policy, names):
    _, groups, quorum = policy
    held = set(names)
    for name, need, members in groups:
        if sum(member in held for member in members) >= need:
            held.add(name)
    return quorum == "none" or quorum in held


# --- time stamps (RFC 3161)


def der(data, at=0):
    """(tag, content, whole, end) of the element at a place; definite lengths."""
    if at + 2 > len(data):
        raise Violated("DER that is cut off")
    tag, length, body = data[at], data[at + 1], at + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4:
            raise Unknown("a time stamp with lengths that this program does not read")
        length, body = int.from_bytes(data[body : body + count], "big"), body + count
    if body + length > len(data):
        raise Violated("DER that is cut off")
    return tag, data[body : body + length], data[at : body + length], body + length


def parts(content):
    found, at = [], 0
    while at < len(content):
        tag, inner, whole, at = der(content, at)
        found.append((tag, inner, whole))
    return found


def oid(content):
    arcs, arc = [], 0
    for byte in content:
        arc = arc << 7 | byte & 0x7F
        if not byte & 0x80:
            arcs.append(arc)
            arc = 0
    top = min(2, arcs[0] // 40)
    return ".".join(map(str, [top, arcs[0] - 40 * top, *arcs[1:]]))


DIGESTS = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
SIGNATURES = {
    "1.2.840.10045.4.3.2": hashes.SHA256(),
    "1.2.840.10045.4.3.3": hashes.SHA384(),
    "1.2.840.10045.4.3.4": hashes.SHA512(),
    "1.2.840.113549.1.1.11": hashes.SHA256(),
    "1.2.840.113549.1.1.12": hashes.SHA384(),
    "1.2.840.113549.1.1.13": hashes.SHA512(),
}
TST_INFO = "1.2.840.113549.1.9.16.1.4"


def digest_of(algorithm, data):
    return hashlib.new(algorithm.name, data).digest()


def check_token(token, imprint, certificates, roots):
    """(time, accuracy, subject, is trusted, end of its certificates); times in seconds since 1970."""
    content_info = parts(der(token)[1])
    if oid(content_info[0][1]) != "1.2.840.113549.1.7.2":
        raise Violated("a token that is no SignedData")
    signed_data = parts(der(content_info[1][1])[1])
    encapsulated = parts(signed_data[2][1])
    if oid(encapsulated[0][1]) != TST_INFO:
        raise Violated("a token that is no time stamp")
    info = der(encapsulated[1][1])[1]
    fields = parts(der(info)[1])
    algorithm, hashed = parts(fields[2][1])
    if oid(parts(algorithm[1])[0][1]) != "2.16.840.1.101.3.4.2.1" or hashed[1] != imprint:
        raise Violated("a token of something else")
    embedded = [whole for tag, inner, _ in signed_data if tag == 0xA0 for _, _, whole in parts(inner)]
    known = [x509.load_der_x509_certificate(raw) for raw in [*embedded, *certificates]]
    signers = parts(signed_data[-1][1])
    if len(signers) != 1:
        raise Violated("a token with several signers")
    signer = signer_of(parts(signers[0][1]), known, info)
    time, accuracy = time_of(fields[4][1]), accuracy_of(fields[5:])
    check_purpose(signer)
    chain = chain_of(signer, known, roots, EPOCH + datetime.timedelta(seconds=time))
    end = min(certificate.not_valid_after_utc for certificate in chain)
    subject = signer.subject.rfc4514_string()
    return time, accuracy, subject, any(root in chain for root in roots), (end - EPOCH).total_seconds()


def signer_of(signer, known, info):
    issuer_and_serial = signer[1]
    if issuer_and_serial[0] != 0x30:
        raise Unknown("a token that names its signer in a way that this program does not read")
    issuer, serial = parts(issuer_and_serial[1])
    number = int.from_bytes(serial[1], "big", signed=True)
    certificate = next(
        (c for c in known if c.serial_number == number and c.issuer.public_bytes() == issuer[2]), None
    )
    if certificate is None:
        raise Violated("a token whose signer is not there")
    digest = DIGESTS.get(oid(parts(signer[2][1])[0][1]))
    attributes = {oid(parts(inner)[0][1]): parts(parts(inner)[1][1]) for _, inner, _ in parts(signer[3][1])}
    if digest is None or oid(attributes["1.2.840.113549.1.9.3"][0][1]) != TST_INFO:
        raise Violated("a token that is signed as something else")
    if attributes["1.2.840.113549.1.9.4"][0][1] != digest_of(digest, info):
        raise Violated("a token whose content is not what was signed")
    check_certificate_id(attributes, certificate)
    algorithm = oid(parts(signer[4][1])[0][1])
    signed = b"\x31" + signer[3][2][1:]
    verify_signature(certificate.public_key(), SIGNATURES.get(algorithm, digest), signed, signer[5][1])
    return certificate


def check_certificate_id(attributes, certificate):
    v2 = attributes.get("1.2.840.113549.1.9.16.2.47")
    v1 = attributes.get("1.2.840.113549.1.9.16.2.12")
    if v2 is None and v1 is None:
        raise Violated("a token that does not name its certificate")
    first = parts(parts((v2 or v1)[0][1])[0][1])[0]
    members = parts(first[1])
    algorithm = hashes.SHA1() if v2 is None else hashes.SHA256()
    if v2 is not None and members[0][0] == 0x30:
        algorithm = DIGESTS[oid(parts(members[0][1])[0][1])]
        members = members[1:]
    if members[0][1] != digest_of(algorithm, certificate.public_bytes(serialization.Encoding.DER)):
        raise Violated("a token of another certificate than the one that it names")


def verify_signature(key, algorithm, message, signature):
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, message, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, message, ec.ECDSA(algorithm))
        elif isinstance(key, ed25519.Ed25519PublicKey):
            key.verify(signature, message)
        else:
            raise Unknown("a token signed by a key of another kind")
    except InvalidSignature:
        raise Violated("a token whose signature does not hold") from None


def check_purpose(certificate):
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
    except x509.ExtensionNotFound:
        raise Violated("a token of a certificate that is not for time stamps") from None
    if not usage.critical or list(usage.value) != [x509.oid.ExtendedKeyUsageOID.TIME_STAMPING]:
        raise Violated("a token of a certificate that is not for time stamps only")


def chain_of(first, known, roots, when):
    chain = [first]
    while True:
        last = chain[-1]
        if not last.not_valid_before_utc <= when <= last.not_valid_after_utc:
            raise Violated("a certificate that was not valid at the time of the stamp")
        if last in roots or len(chain) > 8:
            return chain
        issuer = next((c for c in [*known, *roots] if c not in chain and issued(c, last)), None)
        if issuer is None:
            return chain
        chain.append(issuer)


def issued(issuer, certificate):
    try:
        constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(issuer)
        return constraints.ca
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False


def time_of(content):
    match = re.fullmatch(rb"(\d{14})(?:\.(\d*[1-9]))?Z", content)
    if match is None:
        raise Violated("a token with a time that is none")
    whole = datetime.datetime.strptime(match[1].decode(), "%Y%m%d%H%M%S").replace(tzinfo=datetime.timezone.utc)
    return (whole - EPOCH).total_seconds() + float(b"0." + (match[2] or b"0"))


def accuracy_of(fields):
    units = {0x02: 1.0, 0x80: 1e-3, 0x81: 1e-6}
    for tag, inner, _ in fields:
        if tag == 0x30:
            return sum(units[unit] * int.from_bytes(value, "big") for unit, value, _ in parts(inner))
    return 0.0


# --- the bundle


def check_bundle(data, key, roots, policy, logs):
    bundle = cbor_decode(data)
    if not isinstance(bundle, dict) or bundle.get("format") != BUNDLE_FORMAT:
        raise Unknown("not an evidence bundle of a format that this program knows")
    rest = {name: value for name, value in bundle.items() if name != "sha256"}
    if bundle["sha256"] != sha256(cbor_encode(rest)):
        raise Unknown("the file was altered: its bytes are not those of which it has the hash")
    sth_key = serialization.load_der_public_key(bundle["sthKey"])
    heads = [(head, open_checkpoint(head["note"], key)) for head in bundle["heads"]]
    if not heads or not bundle["entries"] or heads[0][0]["extension"]:
        raise Violated("a bundle without heads or entries")
    for i, (head, checkpoint) in enumerate(heads):
        check_sth(head, checkpoint, sth_key)
        if i > 0:
            before = heads[i - 1][1]
            check_consistency(
                before["size"], checkpoint["size"], before["root"], checkpoint["root"], head["extension"]
            )
    lines = [check_entry(entry, heads[0][1]) for entry in bundle["entries"]]
    return lines + stamp_lines(heads, roots) + log_lines(heads, logs) + witness_lines(heads, policy)


def check_entry(entry, checkpoint):
    leaf = cbor_decode(entry["leaf"])
    if not isinstance(leaf, list) or len(leaf) != 14 or leaf[0] != 1:
        raise Unknown("a leaf of a format that this program does not know")
    if leaf[1] != entry["leafIndex"] + 1:
        raise Violated("a leaf of another entry")
    root = root_from_inclusion(
        entry["leafIndex"], checkpoint["size"], sha256(b"\x00" + entry["leaf"]), entry["path"]
    )
    if root != checkpoint["root"]:
        raise Violated("an entry that is not in the tree")
    payload = entry.get("payload")
    if payload is not None and sha256(payload) != leaf[12]:
        raise Violated("a payload that is not the one of its leaf")
    said = "its payload is in the file" if payload is not None else "its payload is not in the file"
    return f"entry {leaf[1]} {leaf[7]!r} on {leaf[8]!r} by {leaf[6]!r}, logged {rfc3339(leaf[3] / 1e6)}; {said}"


def stamp_lines(heads, roots):
    lines = []
    for head, checkpoint in heads:
        imprint = sha256(head["note"].encode())
        for stamp in head["stamps"]:
            found = check_token(stamp["token"], imprint, stamp["certificates"], roots)
            time, accuracy, subject, is_trusted, end = found
            again, is_trusted, end = renewed(stamp, roots, is_trusted, end)
            own = "" if is_trusted else ", by certificates that are this file's own word: give --roots"
            said = f"existed before {rfc3339(time + accuracy)}, says {subject!r} of the tree of size {checkpoint['size']}"
            lines.append(said + own + again)
            if end < datetime.datetime.now(datetime.timezone.utc).timestamp():
                lines.append(f"  its certificates ended {rfc3339(end)}, and nobody stamped it again before")
    return lines or ["NOT proven: since when it exists; no time-stamp authority has stamped it"]


def renewed(stamp, roots, is_trusted, end):
    """(what is said of stamps of the stamp, whether all are trusted, end of the last one's certificates)."""
    last, said = stamp, ""
    for renewal in stamp["renewals"]:
        leaf = sha256(b"\x00" + cbor_encode([last["token"], last["certificates"]]))
        root = root_from_inclusion(renewal["index"], renewal["size"], leaf, renewal["path"])
        text = f"dendrolog/stamp-renewal/1\n{renewal['size']}\n{base64.b64encode(root).decode()}\n"
        time, _, subject, trusts, ends = check_token(
            renewal["token"], sha256(text.encode()), renewal["certificates"], roots
        )
        if time > end:
            raise Violated("a stamp that was stamped again only after its certificates had ended")
        said += f"; stamped again {rfc3339(time)} by {subject!r}"
        last, is_trusted, end = renewal, is_trusted and trusts, ends
    return said, is_trusted, end


def log_lines(heads, trusted):
    """Other logs in which a head stands, as it was signed."""
    lines = []
    for head, checkpoint in heads:
        for anchor in head["logs"]:
            theirs = open_checkpoint(anchor["checkpoint"], parse_vkey(anchor["vkey"]))
            leaf = anchor.get("leaf", head["note"].encode())
            if "leaf" in anchor:
                check_anchor_leaf(cbor_decode(leaf), anchor["index"], head["note"])
            root = root_from_inclusion(anchor["index"], theirs["size"], sha256(b"\x00" + leaf), anchor["path"])
            if root != theirs["root"]:
                raise Violated("a head that is not in the tree of the other log")
            own = "" if anchor["vkey"] in trusted else ", by a key that is this file's own word: give --anchor-log"
            name = theirs["text"].split("\n")[0]
            lines.append(f"the tree of size {checkpoint['size']} stands in the log {name!r} at index {anchor['index']}{own}")
    return lines


def check_anchor_leaf(leaf, index, note):
    payload = json.dumps({"checkpoint": note}, ensure_ascii=False, separators=(",", ":"))
    if not isinstance(leaf, list) or len(leaf) != 14 or leaf[1] != index + 1 or leaf[12] != sha256(payload.encode()):
        raise Violated("an entry of the other log that is of something else")


def witness_lines(heads, policy):
    if policy is None:
        return ["NOT checked: who has cosigned it; give --policy"]
    found = [(checkpoint["size"], cosigned_by(head, checkpoint, policy[0])) for head, checkpoint in heads]
    if not any(is_quorum(policy, names) for _, names in found):
        raise Violated("no head of the bundle has the cosignatures of the quorum of the policy")
    return [
        f"cosigned by {name} at {rfc3339(time)} as the only history, in the tree of size {size}"
        for size, names in found
        for name, time in names.items()
    ]


def rfc3339(seconds):
    return (EPOCH + datetime.timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def main():
    parser = argparse.ArgumentParser(description="Checks an evidence bundle of a Dendrolog log, offline.")
    parser.add_argument("file")
    parser.add_argument("--vkey", required=True, help="the log's verifier key, from where you trust")
    parser.add_argument("--roots", help="PEM certificates whose time-stamp authorities you trust")
    parser.add_argument("--policy", help="a tlog-policy file of witnesses")
    parser.add_argument("--anchor-log", action="append", default=[], help="verifier key of another log that you trust")
    arguments = parser.parse_args()
    try:
        key = parse_vkey(arguments.vkey)
        if key["type"] != 1:
            raise Unknown("a verifier key of another kind than Ed25519")
        roots = x509.load_pem_x509_certificates(open(arguments.roots, "rb").read()) if arguments.roots else []
        policy = parse_policy(open(arguments.policy, encoding="utf-8").read()) if arguments.policy else None
        lines = check_bundle(open(arguments.file, "rb").read(), key, roots, policy, arguments.anchor_log)
    except Violated as error:
        print(f"does NOT hold: {error}")
        return 1
    except (Unknown, OSError) as error:
        print(f"could not check: {error}")
        return 2
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        # A member is missing or of another type: no bundle that `dendrolog` makes.
        print(f"could not check: malformed: {type(error).__name__}: {error}")
        return 2
    print(f"holds: signed by {key['name']!r}")
    for line in lines:
        print(f"  {line}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
