// documentdb is the MongoDB-compatible server of the tests: FerretDB 2, embedded from its published package, in front of
// a PostgreSQL with the DocumentDB extension, which it starts itself on the given folder and which nobody else reaches.
// It prints its address as one line when it answers, and ends on SIGTERM, SIGINT, or the end of its standard input, so
// that it does not outlive a test process that was killed; PostgreSQL ends with it in any case.
//
// It goes on without a PostgreSQL that was killed, and starts it again on SIGUSR1. The first line of pg/postmaster.pid in
// the folder is PostgreSQL's process id.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/FerretDB/FerretDB/v2/ferretdb"
)

// PostgreSQL refuses to run as root; it gets this user then, which needs no entry in /etc/passwd.
const otherUser = 65534

func main() {
	log.SetFlags(0)
	log.SetPrefix("documentdb: ")
	prefix := flag.String("prefix", "", "folder that postgres.sh has made")
	folder := flag.String("folder", "", "folder of the data; they are copied from the template if there are none")
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	durable := flag.Bool("durable", false, "let each write wait for the disk; no test survives the machine")
	flag.Parse()
	if *prefix == "" || *folder == "" {
		log.Fatal("-prefix and -folder are required")
	}
	dir, err := filepath.Abs(*folder)
	check(err)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	again := make(chan os.Signal, 1)
	signal.Notify(again, syscall.SIGUSR1)
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()

	// postgres.sh puts it elsewhere, and a link here, where PostgreSQL could not reach it.
	home, err := filepath.EvalSymlinks(*prefix)
	check(err)
	makeData(home, dir)
	postgres := &postgres{prefix: home, dir: dir, durable: *durable}
	// PostgreSQL stays until nobody can ask it any more.
	needed, end := context.WithCancel(context.Background())
	ended := make(chan struct{})
	ready := make(chan struct{}, 1)
	go func() {
		// The signal that ends PostgreSQL with us is tied to the thread that has started it.
		runtime.LockOSThread()
		defer close(ended)
		for {
			postgres.run(needed, ready)
			select {
			case <-needed.Done():
				return
			case <-again:
			}
		}
	}()
	select {
	case <-ready:
	case <-ctx.Done():
		end()
		<-ended
		return
	}

	state := filepath.Join(dir, "state")
	check(os.MkdirAll(state, 0o700))
	off := false
	server, err := ferretdb.New(&ferretdb.Config{
		PostgreSQLURL: "postgres://postgres@/postgres?pool_max_conns=50&host=" + url.QueryEscape(dir),
		ListenAddr:    *listen,
		StateDir:      state,
		Telemetry:     &off,
		LogLevel:      slog.LevelError,
		LogOutput:     os.Stderr,
	})
	check(err)
	go func() {
		for range ready {
		}
	}()
	fmt.Println(server.MongoDBURI())
	server.Run(ctx)
	end()
	<-ended
}

// makeData copies the template, unless the data are there.
func makeData(prefix, dir string) {
	check(os.MkdirAll(dir, 0o700))
	data := filepath.Join(dir, "pg")
	if _, err := os.Stat(filepath.Join(data, "PG_VERSION")); errors.Is(err, fs.ErrNotExist) {
		made := data + ".new"
		check(os.RemoveAll(made))
		check(os.CopyFS(made, os.DirFS(filepath.Join(prefix, "template"))))
		check(filepath.WalkDir(made, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			mode := fs.FileMode(0o600)
			if entry.IsDir() {
				mode = 0o700
			}
			return errors.Join(os.Chmod(name, mode), giveAway(name))
		}))
		check(os.Rename(made, data))
	}
	check(giveAway(dir))
}

func giveAway(name string) error {
	if os.Getuid() != 0 {
		return nil
	}
	return os.Chown(name, otherUser, otherUser)
}

type postgres struct {
	prefix, dir string
	durable     bool
}

// run starts PostgreSQL and waits for its end, which it brings about when the context ends.
func (p *postgres) run(ctx context.Context, ready chan<- struct{}) {
	output, err := os.OpenFile(filepath.Join(p.dir, "postgres.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	check(err)
	defer output.Close()
	// The children of one that was killed a moment ago may still be about to end, and hold what it needs.
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		command := p.command(output)
		check(command.Start())
		ended := make(chan struct{})
		go func() {
			_ = command.Wait()
			close(ended)
		}()
		if p.waitReady(command.Process.Pid, ended) {
			select {
			case ready <- struct{}{}:
			default:
			}
			select {
			case <-ctx.Done():
				// Its fast way: it ends its connections.
				_ = command.Process.Signal(syscall.SIGINT)
			case <-ended:
				log.Print("PostgreSQL has ended; see ", output.Name())
			}
			<-ended
			return
		}
		if ctx.Err() != nil {
			return
		}
		if time.Now().After(deadline) {
			log.Fatal("PostgreSQL does not start; see ", output.Name())
		}
	}
}

func (p *postgres) command(output *os.File) *exec.Cmd {
	command := exec.Command(filepath.Join(p.prefix, "postgres"), "-D", filepath.Join(p.dir, "pg"),
		"-c", "unix_socket_directories="+p.dir,
		// The extension connects to its own server too, as when it makes a collection.
		"-c", "documentdb.localhost_connection_string=host="+p.dir,
		"-c", fmt.Sprintf("fsync=%t", p.durable))
	command.Dir = p.dir
	command.Stdout, command.Stderr = output, output
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	if os.Getuid() == 0 {
		command.SysProcAttr.Credential = &syscall.Credential{Uid: otherUser, Gid: otherUser}
	}
	return command
}

// waitReady returns whether it answers now; not, if it has ended.
func (p *postgres) waitReady(pid int, ended <-chan struct{}) bool {
	for {
		select {
		case <-ended:
			return false
		case <-time.After(10 * time.Millisecond):
		}
		text, err := os.ReadFile(filepath.Join(p.dir, "pg", "postmaster.pid"))
		lines := strings.Split(string(text), "\n")
		if err == nil && len(lines) >= 8 && lines[0] == fmt.Sprint(pid) && strings.TrimSpace(lines[7]) == "ready" {
			return true
		}
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
