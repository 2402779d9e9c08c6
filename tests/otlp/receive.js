// Starts the receiver whose package lies in the folder argv[2] on free ports of 127.0.0.1 (its own command has fixed ones) and
// prints its address, then every request for traces as one line of JSON, as its command does with `-o json`.
const {MockOtlpServer, normalizeTrace} = require(require.resolve('@elastic/mockotlpserver', {paths: [process.argv[2]]}));

const place = {grpcHostname: '127.0.0.1', httpHostname: '127.0.0.1', grpcPort: 0, httpPort: 0};
const server = new MockOtlpServer({
    ...place,
    services: ['grpc', 'http'],
    logLevel: 'warn',
    onTrace: (request) => console.log(JSON.stringify(normalizeTrace(request))),
});
server.start().then(() => console.log(JSON.stringify({grpc: server.grpcUrl.origin, http: server.httpUrl.origin})));
