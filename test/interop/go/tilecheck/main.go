// Tilecheck reads a log through its C2SP tiles with programs of others: the whole-log checker and the proof builder of
// transparency-dev/tessera, and the tile reader of golang.org/x/mod/sumdb/tlog. One check a run; what held is printed as
// one line of JSON, what did not ends it with status 1.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/tessera/client"
	"golang.org/x/mod/sumdb/note"
)

// What a check found to hold, for the driver.
type result struct {
	Size    uint64 `json:"size"`
	Checked int    `json:"checked"`
	// Requests that were answered with 404: clients fall back from a partial tile to the full one without a word.
	NotFound int64 `json:"notFound"`
}

// The log as its tiles show it, under the newest checkpoint, whose signature held.
type tiledLog struct {
	root       *url.URL
	http       *http.Client
	fetcher    *client.HTTPFetcher
	verifier   note.Verifier
	checkpoint *log.Checkpoint
}

var checks = map[string]func(ctx context.Context, l *tiledLog) (int, error){
	"fsck":           fsckWhole,
	"fsck-of-damage": fsckOfDamage,
	"proofs":         checkProofs,
	"sumdb":          checkWithSumdb,
}

func main() {
	root := flag.String("url", "", "root of the log")
	vkey := flag.String("vkey", "", "verifier key of its checkpoints")
	name := flag.String("check", "fsck", "what to check")
	limit := flag.Duration("limit", time.Minute, "how long it may take")
	flag.Parse()
	// By the wall clock and not by a context alone: a check that hangs ends too.
	time.AfterFunc(*limit, func() { fail(*name, fmt.Errorf("not finished after %v", *limit)) })
	found, err := run(context.Background(), *root, *vkey, *name)
	if err != nil {
		fail(*name, err)
	}
	_ = json.NewEncoder(os.Stdout).Encode(found)
}

func fail(name string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %.2000v\n", name, err)
	os.Exit(1)
}

func run(ctx context.Context, root, vkey, name string) (result, error) {
	check, ok := checks[name]
	if !ok {
		return result{}, fmt.Errorf("no such check")
	}
	counting := &countingTransport{}
	opened, err := open(ctx, root, vkey, &http.Client{Transport: counting})
	if err != nil {
		return result{}, err
	}
	count, err := check(ctx, opened)
	return result{Size: opened.checkpoint.Size, Checked: count, NotFound: counting.notFound.Load()}, err
}

func open(ctx context.Context, root, vkey string, c *http.Client) (*tiledLog, error) {
	verifier, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, err
	}
	parsed, err := url.Parse(root)
	if err != nil {
		return nil, err
	}
	fetcher, err := client.NewHTTPFetcher(parsed, c)
	if err != nil {
		return nil, err
	}
	// A token comes by the environment: arguments are for everybody on the machine to read.
	if authorization := os.Getenv("LOG_AUTHORIZATION"); authorization != "" {
		fetcher.SetAuthorizationHeader(authorization)
	}
	checkpoint, _, _, err := client.FetchCheckpoint(ctx, fetcher.ReadCheckpoint, verifier, verifier.Name())
	if err != nil {
		return nil, err
	}
	return &tiledLog{root: parsed, http: c, fetcher: fetcher, verifier: verifier, checkpoint: checkpoint}, nil
}

type countingTransport struct{ notFound atomic.Int64 }

func (t *countingTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(request)
	if err == nil && response.StatusCode == http.StatusNotFound {
		t.notFound.Add(1)
	}
	return response, err
}
