package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/client"
	"github.com/transparency-dev/merkle/proof"
)

const smallLog = 1_000

// checkHead: the signature held when the head was read; under another key it does not, nor with another time.
func checkHead(_ context.Context, c *client.LogClient, sth *ct.SignedTreeHead) (int, error) {
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return 0, err
	}
	verifier, err := ct.NewSignatureVerifier(&other.PublicKey)
	if err != nil {
		return 0, err
	}
	if verifier.VerifySTHSignature(*sth) == nil {
		return 0, fmt.Errorf("the head holds under a key that is not the log's")
	}
	altered := *sth
	altered.Timestamp++
	if c.VerifySTHSignature(altered) == nil {
		return 0, fmt.Errorf("the head holds with another time")
	}
	if sth.TreeSize == 0 && !bytes.Equal(sth.SHA256RootHash[:], hasher.EmptyRoot()) {
		return 0, fmt.Errorf("the root of the empty tree is not SHA-256 of nothing")
	}
	return 1, nil
}

// checkEntries: the root recomputed from all leaves is the signed one. A small log is read with other steps too: odd ones,
// and one that is far more than there is.
func checkEntries(ctx context.Context, c *client.LogClient, sth *ct.SignedTreeHead) (int, error) {
	count := 0
	steps := []int64{1_000}
	if sth.TreeSize <= smallLog {
		steps = append(steps, 1<<40, 97)
	}
	for _, step := range steps {
		log, err := readLog(ctx, c, int64(sth.TreeSize), step)
		if err != nil {
			return 0, err
		}
		roots, err := log.roots([]uint64{sth.TreeSize})
		if err != nil {
			return 0, err
		}
		if root := roots[sth.TreeSize]; !bytes.Equal(root, sth.SHA256RootHash[:]) {
			return 0, fmt.Errorf("root of %d entries: got %x, signed is %x", sth.TreeSize, root, sth.SHA256RootHash)
		}
		count += len(log.leaves)
	}
	return count, nil
}

func checkConsistency(ctx context.Context, c *client.LogClient, sth *ct.SignedTreeHead) (int, error) {
	_, sizes, roots, err := readWithRoots(ctx, c, sth)
	if err != nil {
		return 0, err
	}
	count := 0
	for i, second := range sizes {
		for _, first := range append([]uint64{0}, sizes[:i+1]...) {
			hashes, err := c.GetSTHConsistency(ctx, first, second)
			if err != nil {
				return 0, fmt.Errorf("from %d to %d: %w", first, second, describe(err))
			}
			if err := proof.VerifyConsistency(hasher, first, second, hashes, roots[first], roots[second]); err != nil {
				return 0, fmt.Errorf("from %d to %d: %w", first, second, err)
			}
			count++
		}
	}
	return count, nil
}

func checkEntryAndProof(ctx context.Context, c *client.LogClient, sth *ct.SignedTreeHead) (int, error) {
	return eachPlace(ctx, c, sth, func(log *wholeLog, index, size uint64) ([][]byte, error) {
		rsp, err := c.GetEntryAndProof(ctx, index, size)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(rsp.LeafInput, log.leaves[index]) {
			return nil, fmt.Errorf("not the leaf that get-entries has there")
		}
		return rsp.AuditPath, nil
	})
}

func checkProofByHash(ctx context.Context, c *client.LogClient, sth *ct.SignedTreeHead) (int, error) {
	unknown := sha256.Sum256([]byte("nobody logged this"))
	if err := refused(c.GetProofByHash(ctx, unknown[:], sth.TreeSize)); err != nil {
		return 0, fmt.Errorf("a hash that is in no leaf: %w", err)
	}
	return eachPlace(ctx, c, sth, func(log *wholeLog, index, size uint64) ([][]byte, error) {
		rsp, err := c.GetProofByHash(ctx, log.hashes[index], size)
		if err != nil {
			return nil, err
		}
		if rsp.LeafIndex != int64(index) {
			return nil, fmt.Errorf("got leaf index %d", rsp.LeafIndex)
		}
		return rsp.AuditPath, nil
	})
}

// checkRefusals: what the log cannot answer is refused with a status of its own, never answered.
func checkRefusals(ctx context.Context, c *client.LogClient, sth *ct.SignedTreeHead) (int, error) {
	size := sth.TreeSize
	beyond := size + 1_000_000_000
	refusals := []error{
		refused(c.GetSTHConsistency(ctx, 3, 2)),
		refused(c.GetSTHConsistency(ctx, 1, beyond)),
		refused(c.GetSTHConsistency(ctx, 1, 1<<63)),
		refused(c.GetRawEntries(ctx, int64(beyond), int64(beyond+4))),
		refused(c.GetEntryAndProof(ctx, size, size)),
		refused(c.GetEntryAndProof(ctx, 0, 0)),
		refused(c.GetEntryAndProof(ctx, 0, beyond)),
	}
	for i, err := range refusals {
		if err != nil {
			return 0, fmt.Errorf("request %d that must be refused: %w", i, err)
		}
	}
	return len(refusals), nil
}

// eachPlace verifies the audit paths of telling leaves in trees of telling sizes.
func eachPlace(
	ctx context.Context, c *client.LogClient, sth *ct.SignedTreeHead,
	pathOf func(log *wholeLog, index, size uint64) ([][]byte, error),
) (int, error) {
	log, sizes, roots, err := readWithRoots(ctx, c, sth)
	if err != nil {
		return 0, err
	}
	count := 0
	for i, size := range sizes {
		for _, upTo := range sizes[:i+1] {
			index := upTo - 1
			path, err := pathOf(log, index, size)
			if err != nil {
				return 0, fmt.Errorf("leaf %d in the tree of %d: %w", index, size, describe(err))
			}
			if err := proof.VerifyInclusion(hasher, index, size, log.hashes[index], path, roots[size]); err != nil {
				return 0, fmt.Errorf("leaf %d in the tree of %d: %w", index, size, err)
			}
			count++
		}
	}
	return count, nil
}

// readWithRoots has the whole log, and the roots of its telling sizes; the newest is the signed one.
func readWithRoots(ctx context.Context, c *client.LogClient, sth *ct.SignedTreeHead) (*wholeLog, []uint64, map[uint64][]byte, error) {
	log, err := readLog(ctx, c, int64(sth.TreeSize), 1_000)
	if err != nil {
		return nil, nil, nil, err
	}
	sizes := telling(sth.TreeSize)
	roots, err := log.roots(sizes)
	if err != nil {
		return nil, nil, nil, err
	}
	if !bytes.Equal(roots[sth.TreeSize], sth.SHA256RootHash[:]) {
		return nil, nil, nil, fmt.Errorf("the root of %d entries is not the signed one", sth.TreeSize)
	}
	return log, sizes, roots, nil
}

// refused is nil where the answer is 400 or 404.
func refused[T any](answer T, err error) error {
	rsp, ok := err.(client.RspError)
	if !ok {
		return fmt.Errorf("got %v, %v", answer, err)
	}
	if rsp.StatusCode != http.StatusBadRequest && rsp.StatusCode != http.StatusNotFound {
		return fmt.Errorf("got status %d", rsp.StatusCode)
	}
	return nil
}
