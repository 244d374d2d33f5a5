// ferretdb is the MongoDB-compatible server of the tests: FerretDB with its
// SQLite back end, embedded from its published package. It listens on a free
// port of 127.0.0.1, prints its address as one line, and ends on SIGTERM,
// SIGINT, or the end of its standard input, so that it does not outlive a
// test process that was killed.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	folder := flag.String("folder", "", "folder of the data files")
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	flag.Parse()
	if *folder == "" {
		log.Fatal("ferretdb: -folder is required")
	}

	server, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: *listen},
		Handler:   "sqlite",
		// No test survives the machine, so nothing need wait for its disk.
		SQLiteURL: "file:" + *folder + "/?_pragma=synchronous(off)",
	})
	if err != nil {
		log.Fatal("ferretdb: ", err)
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()

	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()

	fmt.Println(server.MongoDBURI())
	if err := <-done; err != nil {
		log.Fatal("ferretdb: ", err)
	}
}
