"""What JupyterLab, started by ``posebook lab``, does differently: a kernel's messages reach the browser at once."""

import asyncio

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptConnection(ZMQChannelsWebsocketConnection):
    """TCP would hold a message back until the browser's system says that it has the one before: up to 40 ms in Linux.

    (Nagle's algorithm, RFC 896, beside delayed acknowledgements, RFC 1122.) A move of a slider is answered by several.
    """

    def connect(self) -> asyncio.Future[None] | None:
        self.websocket_handler.set_nodelay(True)
        return super().connect()
