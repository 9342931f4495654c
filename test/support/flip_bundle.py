"""Flips every byte of a bundle once, and prints how many of them `deploy/verify.py` takes: BUNDLE VKEY ROOTS POLICY."""
import importlib.util
import sys

spec = importlib.util.spec_from_file_location("verify", sys.argv[1])
verify = importlib.util.module_from_spec(spec)
spec.loader.exec_module(verify)

data = open(sys.argv[2], "rb").read()
key = verify.parse_vkey(sys.argv[3])
roots = verify.x509.load_pem_x509_certificates(open(sys.argv[4], "rb").read())
policy = verify.parse_policy(open(sys.argv[5], encoding="utf-8").read())


def holds(bundle):
    try:
        return bool(verify.check_bundle(bundle, key, roots, policy, []))
    except (verify.Violated, verify.Unknown, KeyError, IndexError, TypeError, ValueError, AttributeError):
        return False


if not holds(data):
    sys.exit("the bundle itself does not hold")
taken = 0
for mask in (0x01, 0xFF):
    for i in range(len(data)):
        flipped = bytearray(data)
        flipped[i] ^= mask
        taken += holds(bytes(flipped))
print(f"{2 * len(data)} flipped, {taken} taken")
