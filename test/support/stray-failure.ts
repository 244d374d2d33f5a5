/** Loaded with --import into a server process: SIGWINCH makes a rejection that nothing handles, SIGURG an error that nothing catches. */
process.on('SIGWINCH', () => void Promise.reject(new Error('a stray rejection')));
process.on('SIGURG', () => {
  throw new Error('a stray error');
});
