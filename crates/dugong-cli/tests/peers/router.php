<?php
// Answers with the path.
echo "at " . parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH);
