// A server of Node.js that answers with the path, or with the length of the content.
const http = require('http');
http.createServer((request, response) => {
  let length = 0;
  request.on('data', (piece) => { length += piece.length; });
  request.on('end', () => response.end(request.method === 'GET' ? request.url : String(length)));
}).listen(Number(process.argv[3]), process.argv[2]);
