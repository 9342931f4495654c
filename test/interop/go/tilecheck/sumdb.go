package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	tileHeight  = 8
	randomSizes = 40
)

// checkWithSumdb reads tiles with the client of Go's checksum database, which checks each against the signed root before
// it uses it, and builds and checks proofs of leaves and of older trees.
func checkWithSumdb(ctx context.Context, l *tiledLog) (int, error) {
	newest := tlog.Tree{N: int64(l.checkpoint.Size)}
	copy(newest.Hash[:], l.checkpoint.Hash)
	reader := tlog.TileHashReader(newest, tileReader{ctx, l})
	count := 0
	for _, size := range someSizes(l.checkpoint.Size) {
		if err := checkOlder(newest, int64(size), reader); err != nil {
			return 0, fmt.Errorf("tree of %d: %w", size, err)
		}
		count++
	}
	for _, tile := range tlog.NewTiles(tileHeight, 0, newest.N) {
		if err := checkTile(ctx, l, tile, reader); err != nil {
			return 0, fmt.Errorf("%s: %w", tile.Path(), err)
		}
		count++
	}
	return count, nil
}

func checkOlder(newest tlog.Tree, size int64, reader tlog.HashReader) error {
	older, err := tlog.TreeHash(size, reader)
	if err != nil {
		return err
	}
	extension, err := tlog.ProveTree(newest.N, size, reader)
	if err != nil {
		return err
	}
	if err := tlog.CheckTree(extension, newest.N, newest.Hash, size, older); err != nil {
		return err
	}
	leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, size-1)})
	if err != nil {
		return err
	}
	inclusion, err := tlog.ProveRecord(newest.N, size-1, reader)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(inclusion, newest.N, newest.Hash, size-1, leaf[0])
}

// checkTile compares what is served with what the checked hashes make of that tile.
func checkTile(ctx context.Context, l *tiledLog, tile tlog.Tile, reader tlog.HashReader) error {
	want, err := tlog.ReadTileData(tile, reader)
	if err != nil {
		return err
	}
	got, err := readTile(ctx, l, tile)
	if err != nil {
		return err
	}
	if string(got) != string(want) {
		return fmt.Errorf("got %x, want %x", got, want)
	}
	return nil
}

func someSizes(size uint64) []uint64 {
	sizes := telling(size)
	for range randomSizes {
		sizes = append(sizes, 1+rand.Uint64N(size))
	}
	return sizes
}

// tileReader is the log as sumdb/tlog reads it: the paths of C2SP are those of the checksum database without the height.
type tileReader struct {
	ctx context.Context
	log *tiledLog
}

func (tileReader) Height() int { return tileHeight }

func (r tileReader) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	read := make([][]byte, len(tiles))
	for i, tile := range tiles {
		bytes, err := readTile(r.ctx, r.log, tile)
		if err != nil {
			return nil, err
		}
		read[i] = bytes
	}
	return read, nil
}

func (tileReader) SaveTiles([]tlog.Tile, [][]byte) {}

func readTile(ctx context.Context, l *tiledLog, tile tlog.Tile) ([]byte, error) {
	path, found := strings.CutPrefix(tile.Path(), fmt.Sprintf("tile/%d/", tileHeight))
	if !found {
		return nil, fmt.Errorf("a path that begins otherwise: %s", tile.Path())
	}
	return get(ctx, l, "tile/"+path)
}

// get is a plain request, without the fallbacks that clients of tiles have.
func get(ctx context.Context, l *tiledLog, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.root.JoinPath(path).String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := l.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: status %d", path, response.StatusCode)
	}
	return io.ReadAll(response.Body)
}
