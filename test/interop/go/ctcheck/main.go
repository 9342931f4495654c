// Ctcheck reads a log through the RFC 6962 client of certificate-transparency-go, and checks what it gets with
// transparency-dev/merkle. One check a run; what held is printed as one line of JSON, what did not ends it with status 1.
package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	ct "github.com/google/certificate-transparency-go"
	"github.com/google/certificate-transparency-go/client"
	"github.com/google/certificate-transparency-go/jsonclient"
)

// What a check found to hold, for the driver.
type result struct {
	Size    uint64 `json:"size"`
	Checked int    `json:"checked"`
}

type check func(ctx context.Context, c *client.LogClient, sth *ct.SignedTreeHead) (int, error)

var checks = map[string]check{
	"head":            checkHead,
	"entries":         checkEntries,
	"consistency":     checkConsistency,
	"entry-and-proof": checkEntryAndProof,
	"proof-by-hash":   checkProofByHash,
	"refusals":        checkRefusals,
}

func main() {
	url := flag.String("url", "", "root of the log")
	key := flag.String("key", "", "key of its signed tree heads: SPKI, base64")
	name := flag.String("check", "head", "what to check")
	limit := flag.Duration("limit", time.Minute, "how long it may take")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *limit)
	defer cancel()
	found, err := run(ctx, *url, *key, *name)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", *name, err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(found)
}

func run(ctx context.Context, url, key, name string) (result, error) {
	check, ok := checks[name]
	if !ok {
		return result{}, fmt.Errorf("no such check")
	}
	der, err := base64.StdEncoding.DecodeString(key)
	if err != nil {
		return result{}, err
	}
	// Without a key the client takes heads unverified.
	if len(der) == 0 {
		return result{}, fmt.Errorf("no key")
	}
	// A token comes by the environment: arguments are for everybody on the machine to read.
	c, err := client.New(url, nil, jsonclient.Options{PublicKeyDER: der, Authorization: os.Getenv("LOG_AUTHORIZATION")})
	if err != nil {
		return result{}, err
	}
	sth, err := c.GetSTH(ctx)
	if err != nil {
		return result{}, fmt.Errorf("get-sth: %w", describe(err))
	}
	count, err := check(ctx, c, sth)
	return result{Size: sth.TreeSize, Checked: count}, err
}

// describe adds what the log said to what the client makes of it.
func describe(err error) error {
	if rsp, ok := err.(client.RspError); ok {
		return fmt.Errorf("%w: status %d: %.300s", rsp.Err, rsp.StatusCode, rsp.Body)
	}
	return err
}
