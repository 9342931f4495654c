package main

import (
	"bytes"
	"context"
	"fmt"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"
)

const fsckWorkers = 4

var hasher = rfc6962.DefaultHasher

// fsckWhole derives every tile and the root from the entry bundles, and compares them with what the log serves. The
// library and not tessera's cmd/fsck: that command ends with status 0 whatever it finds.
func fsckWhole(ctx context.Context, l *tiledLog) (int, error) {
	return runFsck(ctx, l, l.fetcher)
}

// fsckOfDamage: the checker finds one bit of one tile, so what it says of the log means something.
func fsckOfDamage(ctx context.Context, l *tiledLog) (int, error) {
	if _, err := runFsck(ctx, l, damagedTile{l.fetcher}); err == nil {
		return 0, fmt.Errorf("a damaged tile was not noticed")
	}
	return 1, nil
}

func runFsck(ctx context.Context, l *tiledLog, source fsck.Fetcher) (int, error) {
	checker := fsck.New(l.verifier.Name(), l.verifier, source, hashBundle, fsck.Opts{N: fsckWorkers})
	if err := checker.Check(ctx); err != nil {
		return 0, err
	}
	return int(checker.Status().ResourcesFetched), nil
}

// hashBundle is what cmd/fsck does with the entries of any C2SP log.
func hashBundle(bundle []byte) ([][]byte, error) {
	entries := &api.EntryBundle{}
	if err := entries.UnmarshalText(bundle); err != nil {
		return nil, err
	}
	hashes := make([][]byte, 0, len(entries.Entries))
	for _, entry := range entries.Entries {
		hashes = append(hashes, hasher.HashLeaf(entry))
	}
	return hashes, nil
}

type damagedTile struct{ *client.HTTPFetcher }

func (d damagedTile) ReadTile(ctx context.Context, level, index uint64, partial uint8) ([]byte, error) {
	tile, err := d.HTTPFetcher.ReadTile(ctx, level, index, partial)
	if err == nil && level == 0 && index == 0 {
		tile[7] ^= 1
	}
	return tile, err
}

// checkProofs builds proofs from tiles, in the newest tree and in trees of sizes that it has grown past, whose partial
// tiles have grown too. The newest root is the signed one; every older one is proved to be consistent with it.
func checkProofs(ctx context.Context, l *tiledLog) (int, error) {
	newest := l.checkpoint
	builder, err := client.NewProofBuilder(ctx, newest.Size, l.fetcher.ReadTile)
	if err != nil {
		return 0, err
	}
	count := 0
	for _, size := range telling(newest.Size) {
		tree, root, err := treeOf(ctx, l, size)
		if err != nil {
			return 0, fmt.Errorf("tree of %d: %w", size, err)
		}
		hashes, err := builder.ConsistencyProof(ctx, size, newest.Size)
		if err != nil {
			return 0, fmt.Errorf("from %d: %w", size, err)
		}
		if err := proof.VerifyConsistency(hasher, size, newest.Size, hashes, root, newest.Hash); err != nil {
			return 0, fmt.Errorf("from %d: %w", size, err)
		}
		for _, index := range []uint64{0, size / 3, size / 2, size - 1} {
			if err := checkLeaf(ctx, l, tree, index, size, root); err != nil {
				return 0, fmt.Errorf("leaf %d in the tree of %d: %w", index, size, err)
			}
			count++
		}
		count++
	}
	return count, nil
}

// treeOf has the proofs and the root of a tree as it was at a size, from tiles of that size.
func treeOf(ctx context.Context, l *tiledLog, size uint64) (*client.ProofBuilder, []byte, error) {
	tree, err := client.NewProofBuilder(ctx, size, l.fetcher.ReadTile)
	if err != nil {
		return nil, nil, err
	}
	nodes, err := client.FetchRangeNodes(ctx, size, l.fetcher.ReadTile)
	if err != nil {
		return nil, nil, err
	}
	root := nodes[len(nodes)-1]
	for i := len(nodes) - 2; i >= 0; i-- {
		root = hasher.HashChildren(nodes[i], root)
	}
	if size == l.checkpoint.Size && !bytes.Equal(root, l.checkpoint.Hash) {
		return nil, nil, fmt.Errorf("got root %x, signed is %x", root, l.checkpoint.Hash)
	}
	return tree, root, nil
}

func checkLeaf(ctx context.Context, l *tiledLog, tree *client.ProofBuilder, index, size uint64, root []byte) error {
	bundle, err := client.GetEntryBundle(ctx, l.fetcher.ReadEntryBundle, index/layout.EntryBundleWidth, size)
	if err != nil {
		return err
	}
	leaf := hasher.HashLeaf(bundle.Entries[index%layout.EntryBundleWidth])
	path, err := tree.InclusionProof(ctx, index)
	if err != nil {
		return err
	}
	return proof.VerifyInclusion(hasher, index, size, leaf, path, root)
}

// telling are sizes at which tiles change their shape: those around multiples of their width, some between, the newest.
func telling(size uint64) []uint64 {
	found := []uint64{}
	for _, n := range []uint64{1, 2, 3, 100, 255, 256, 257, 511, 512, 1_000, 65_279, 65_280, 65_535, 65_536, 65_537, 65_792, size - 1} {
		if n >= 1 && n < size {
			found = append(found, n)
		}
	}
	return append(found, size)
}
