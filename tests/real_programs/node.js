// A server and a client on the event loop, a worker thread, a child process, a hash by the thread pool.
const http = require('http');
const { Worker } = require('worker_threads');
const { execFileSync } = require('child_process');
const crypto = require('crypto');

const server = http.createServer((_, response) => response.end('served'));
server.listen(8080, '127.0.0.1', () => {
  http.get('http://127.0.0.1:8080/', (response) => {
    response.on('data', (data) => console.log(data.toString()));
    response.on('end', () => {
      server.close();
      const worker = new Worker('require("worker_threads").parentPort.postMessage(6 * 7)', { eval: true });
      worker.on('message', (message) => {
        console.log(message);
        console.log(execFileSync('/bin/echo', ['child']).toString().trim());
        crypto.pbkdf2('a', 'b', 1000, 4, 'sha256', (_, key) => console.log(key.toString('hex')));
      });
    });
  });
});
