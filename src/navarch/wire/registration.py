"""The words in which plugins of a node (CSI drivers, drivers of devices) make themselves known to its agent.

The plugin serves, the agent calls: the plugin lays a socket into a folder that the agent watches.

Source: https://kubernetes.io/docs/concepts/storage/volumes/#csi and KEP-595, "plugin watcher"
"""

from __future__ import annotations

from navarch.wire.rpc import Api

MESSAGES = """
InfoRequest
PluginInfo                  1 type string, 2 name string, 3 endpoint string, 4 supported_versions string*
RegistrationStatus          1 plugin_registered bool, 2 error string
RegistrationStatusResponse
"""
SERVICES = """
Registration  GetInfo InfoRequest PluginInfo, NotifyRegistrationStatus RegistrationStatus RegistrationStatusResponse
"""
API = Api("pluginregistration", MESSAGES, SERVICES)
