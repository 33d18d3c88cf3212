// Answers with the path, after a few milliseconds, so that pipelined requests meet a server that is busy.
Bun.serve({
    hostname: process.argv[2],
    port: Number(process.argv[3]),
    async fetch(request) {
        await Bun.sleep(5);
        return new Response("at " + new URL(request.url).pathname);
    },
});
