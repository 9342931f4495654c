package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"

	"github.com/google/certificate-transparency-go/client"
	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

var hasher = rfc6962.DefaultHasher

// The whole log as get-entries gave it: leaf hashes, and roots recomputed from them.
type wholeLog struct {
	leaves [][]byte
	hashes [][]byte
}

// readLog reads the first `size` entries, asking for `step` at a time, beyond the end too, and taking what it gets, as
// monitors do. What a log that grows gives beyond them is left.
func readLog(ctx context.Context, c *client.LogClient, size, step int64) (*wholeLog, error) {
	log := &wholeLog{}
	for int64(len(log.leaves)) < size {
		start := int64(len(log.leaves))
		rsp, err := c.GetRawEntries(ctx, start, start+step-1)
		if err != nil {
			return nil, fmt.Errorf("get-entries from %d: %w", start, describe(err))
		}
		if len(rsp.Entries) == 0 || int64(len(rsp.Entries)) > step {
			return nil, fmt.Errorf("get-entries from %d: %d entries where %d were asked for", start, len(rsp.Entries), step)
		}
		for _, entry := range rsp.Entries[:min(int64(len(rsp.Entries)), size-start)] {
			// Of the payload the leaf has but the hash.
			payload := sha256.Sum256(entry.ExtraData)
			if !bytes.Contains(entry.LeafInput, payload[:]) {
				return nil, fmt.Errorf("entry %d: its leaf has not the hash of its payload", len(log.leaves))
			}
			log.leaves = append(log.leaves, entry.LeafInput)
			log.hashes = append(log.hashes, hasher.HashLeaf(entry.LeafInput))
		}
	}
	return log, nil
}

// roots are the root hashes of the trees of some sizes, which ascend.
func (log *wholeLog) roots(sizes []uint64) (map[uint64][]byte, error) {
	tree := (&compact.RangeFactory{Hash: hasher.HashChildren}).NewEmptyRange(0)
	roots := map[uint64][]byte{0: hasher.EmptyRoot()}
	for _, size := range sizes {
		for tree.End() < size {
			if err := tree.Append(log.hashes[tree.End()], nil); err != nil {
				return nil, err
			}
		}
		if size == 0 {
			continue
		}
		root, err := tree.GetRootHash(nil)
		if err != nil {
			return nil, err
		}
		roots[size] = root
	}
	return roots, nil
}

// telling are sizes at which proofs change their shape: small ones, those around tiles and powers of two, the newest.
func telling(size uint64) []uint64 {
	found := []uint64{}
	add := func(n uint64) {
		if n <= size && (len(found) == 0 || n > found[len(found)-1]) {
			found = append(found, n)
		}
	}
	for n := uint64(1); n <= 9; n++ {
		add(n)
	}
	for n := uint64(16); n <= size; n *= 2 {
		add(n - 1)
		add(n)
		add(n + 1)
	}
	add(size - 1)
	add(size)
	return found
}
