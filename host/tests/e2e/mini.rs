#![allow(dead_code)]
mod http_server; mod javascript; mod plugin_command; mod sms; mod support; mod webhook_forwarder;
