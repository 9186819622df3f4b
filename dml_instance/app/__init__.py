"""A page in the browser: segment, correct by clicks, learn from the corrections.

    browser <-> server -> workspace -> project (what people did; on disk)
                                    -> models  (what the network says)
                                    -> training (in a process of its own)

``server`` has the routes and nothing else. All that is written lies in the folder of the project.
"""
