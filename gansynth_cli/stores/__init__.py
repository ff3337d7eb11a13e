"""Object stores: the only package that knows of s3://, gs:// and memory://. Everything else works on local paths.

`Staging` maps what a command was given to local paths. A path stays as it is. A folder in a store becomes a `Mirror`: a local tree with the
names and sizes of the objects, whose contents are empty (sparse files) until `fetch` brings them. An output in a store is a local folder
whose finished files are sent. So planning, labelling and skipping see the whole tree, while the disk holds what is being worked on.

Objects appear whole or not at all. Requests that fail are repeated for half a minute; then a `StoreError` ends the command, and the
same command goes on where it was. Needs fsspec, and for s3:// and gs:// its drivers s3fs and gcsfs (extra `cloud`).
"""
