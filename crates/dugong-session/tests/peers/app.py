"""Applications that answer with the path, or with the length of the content."""


def wsgi(environ, start_response):
    content = environ['wsgi.input'].read(int(environ.get('CONTENT_LENGTH') or 0))
    is_get = environ['REQUEST_METHOD'] == 'GET'
    answer = (environ['PATH_INFO'] if is_get else str(len(content))).encode()
    start_response('200 OK', [('Content-Length', str(len(answer)))])
    return [answer]


async def asgi(scope, receive, send):
    length, more = 0, True
    while more:
        event = await receive()
        length += len(event.get('body', b''))
        more = event.get('more_body', False)
    answer = (scope['path'] if scope['method'] == 'GET' else str(length)).encode()
    headers = [(b'content-length', str(len(answer)).encode())]
    await send({'type': 'http.response.start', 'status': 200, 'headers': headers})
    await send({'type': 'http.response.body', 'body': answer})
